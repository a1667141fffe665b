const REDACTED = '(redacted)';

/** Words that make the value of an option a secret, wherever they stand in its name: `--db-password`, `API_TOKEN=`. */
const SECRET_NAME =
  /pass(?:w(?:or)?ds?|phrases?|codes?)?(?![a-z])|pwd|secret|token|credential|auth(?!or)|bearer|cookie|session|signature|dsn|(?:api|access|private|encryption|signing|license|account|ssh|client|shared|master)[-_.]?key|(?:^|[-_.])(?:key|cert|pin|salt|jwt|sas)$|connection[-_.]?string/i;

/** Beginnings and shapes of tokens that are handed out by the common services, and JSON web tokens. */
const SECRET_SHAPES = [
  /^eyJ[\w-]+\.[\w-]+\./,
  /^(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|sk[-_]|rk_|pk_live_|AKIA|ASIA|AIza|ya29\.|npm_|dop_v1_|SG\.|hf_|shpat_|whsec_)/,
  /-----BEGIN /,
  /^(?:Bearer|Basic) /i,
];

/** From this length on, what mixes letters and digits as no word or path does is held to be a key. */
const RANDOM_LENGTH = 24;

/**
 * Leaves the values out of arguments that look like secrets: `--token=x`, `--token x`, `-p x`'s longer forms, `API_KEY=x`,
 * passwords in URLs, and what has the shape of a key whatever it is called.
 */
export function redactArguments(args: readonly string[]): string[] {
  let secretFollows = false;
  return args.map((arg) => {
    const follows = secretFollows;
    secretFollows = false;
    const option = /^(-{1,2}[^=]+|[A-Za-z_][\w.-]*)=([^]*)$/.exec(arg);
    if (option) {
      const [, name, value] = option as unknown as [string, string, string];
      return isSecretName(name) ? `${name}=${REDACTED}` : `${name}=${redactValue(value)}`;
    }
    if (/^--?[A-Za-z]/.test(arg)) {
      secretFollows = isSecretName(arg);
      // A value that begins with a dash would be taken for an option; a secret must not show because of it.
      return follows && !/^--[a-z]/.test(arg) ? REDACTED : arg;
    }
    return follows ? REDACTED : redactValue(arg);
  });
}

function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name.replace(/^-+/, '').replace(/([a-z])([A-Z])/g, '$1-$2'));
}

function redactValue(value: string): string {
  if (SECRET_SHAPES.some((shape) => shape.test(value)) || looksRandom(value)) return REDACTED;
  return value
    .replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s/?#]*@/gi, `$1${REDACTED}@`)
    .replace(/([?&;]([^=&;\s]+)=)([^&;\s]*)/g, (whole, begin: string, name: string) =>
      isSecretName(name) ? begin + REDACTED : whole,
    )
    .replace(/(?<begin>(['"]?)(?<name>[\w.-]+)\2\s*[:=]\s*)(['"`])(?:(?!\4)[^])*\4/g, (whole, ...found) => {
      const { begin, name } = found.at(-1) as unknown as { begin: string; name: string };
      return isSecretName(name) ? `${begin}"${REDACTED}"` : whole;
    });
}

/** Letters and digits (and base64's signs) in one piece, changing between them as no word does. */
function looksRandom(value: string): boolean {
  if (value.length < RANDOM_LENGTH || !/^[\w+/=~-]+$/.test(value) || value.startsWith('/')) return false;
  if (/^[0-9a-f]{32,}$/i.test(value)) return true;
  const changes = value.match(/[a-zA-Z](?=\d)|\d(?=[a-zA-Z])|[a-z](?=[A-Z])/g)?.length ?? 0;
  return changes >= value.length / 6;
}
