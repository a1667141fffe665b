/** Reads profiles back, so that tests speak of functions and shares instead of bytes. */
import { gunzipSync } from 'node:zlib';
import { Profile } from 'pprof-format';

export interface ReadFrame {
  name: string;
  file: string;
  line: number;
  address: number;
}

export interface ReadSample {
  /** Leaf first. */
  stack: ReadFrame[];
  values: number[];
  labels: Record<string, string>;
  numLabels: Record<string, number>;
}

export interface ReadProfile {
  proto: Profile;
  sampleTypes: string[];
  periodType: string;
  period: number;
  timeMs: number;
  durationMs: number;
  comments: string[];
  samples: ReadSample[];
}

/** Whether V8 tells all allocations from live ones, so that heap profiles have Go's four values. */
export const COUNTS_TOTALS = Number(process.versions.node.split('.')[0]) >= 26;

/** Sample types of a heap profile on the Node that runs the tests. */
export const HEAP_TYPES: readonly string[] = [
  ...(COUNTS_TOTALS ? ['alloc_objects/count', 'alloc_space/bytes'] : []),
  'inuse_objects/count',
  'inuse_space/bytes',
];

/** Decodes gzip'd profile.proto bytes. */
export function readProfile(bytes: Uint8Array): ReadProfile {
  const proto = Profile.decode(gunzipSync(bytes));
  const text = (index: number | bigint | undefined): string =>
    proto.stringTable.strings[Number(index ?? 0)] ?? '';
  const functions = new Map(proto.function.map((each) => [Number(each.id), each]));
  const frames = new Map(
    proto.location.map((location) => {
      const line = location.line[0];
      const called = functions.get(Number(line?.functionId));
      return [
        Number(location.id),
        {
          name: text(called?.name),
          file: text(called?.filename),
          line: Number(line?.line ?? 0),
          address: Number(location.address),
        },
      ];
    }),
  );
  const typeText = (type: { type: number | bigint; unit: number | bigint } | undefined): string =>
    `${text(type?.type)}/${text(type?.unit)}`;
  return {
    proto,
    sampleTypes: proto.sampleType.map(typeText),
    periodType: typeText(proto.periodType),
    period: Number(proto.period),
    timeMs: Number(BigInt(proto.timeNanos) / 1_000_000n),
    durationMs: Number(proto.durationNanos ?? 0) / 1e6,
    comments: proto.comment.map(text),
    samples: proto.sample.map((sample) => ({
      stack: sample.locationId.map((id) => frames.get(Number(id)) as ReadFrame),
      values: sample.value.map((value) => Number(BigInt.asIntN(64, BigInt(value)))),
      labels: Object.fromEntries(
        sample.label.filter(({ numUnit }) => !numUnit).map(({ key, str }) => [text(key), text(str)]),
      ),
      numLabels: Object.fromEntries(
        sample.label.filter(({ numUnit }) => numUnit).map(({ key, num }) => [text(key), Number(num)]),
      ),
    })),
  };
}

/** Sum of one value over all samples. */
export function totalOf({ samples }: ReadProfile, valueIndex: number): number {
  return samples.reduce((sum, { values }) => sum + (values[valueIndex] as number), 0);
}

/** Sum of one value over the samples that have a function of that name anywhere in their stack. */
export function cumulativeOf({ samples }: ReadProfile, functionName: string, valueIndex: number): number {
  return samples
    .filter(({ stack }) => stack.some(({ name }) => name === functionName))
    .reduce((sum, { values }) => sum + (values[valueIndex] as number), 0);
}

/** Each frame once, whatever samples it is in. */
export function framesOf(profile: ReadProfile): ReadFrame[] {
  return [
    ...new Map(profile.samples.flatMap(({ stack }) => stack).map((frame) => [frame.address, frame])).values(),
  ];
}
