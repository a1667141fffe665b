/** Functions remembered. Of a text profile of more than that, pprof shows the rest as bare addresses. */
const MAX_ENTRIES = 50_000;

/** A line below a record of a text profile, which names one of its addresses. */
const LEGEND = /^#\t0x([0-9a-f]{1,13})\t([^\t\n]+)\t/gm;

/**
 * Remembers which function stands behind the addresses of text profiles: pprof reads no names there, it asks for them
 * afterwards. What was noted longest ago is forgotten first.
 */
export class AddressBook {
  readonly #names = new Map<number, string>();

  /** Notes the addresses of a text profile that is served, wherever it was made. */
  learn(text: string): void {
    for (const [, address, name] of text.matchAll(LEGEND))
      this.note(parseInt(address as string, 16), name as string);
  }

  note(address: number, name: string): void {
    this.#names.delete(address);
    this.#names.set(address, name);
    if (this.#names.size <= MAX_ENTRIES) return;
    for (const oldest of this.#names.keys()) {
      this.#names.delete(oldest);
      break;
    }
  }

  /** Name of the function at an address as it stands in text, or as pprof asks for it, which takes one off each. */
  nameAt(address: number): string | undefined {
    return this.#names.get(address) ?? this.#names.get(address + 1);
  }
}
