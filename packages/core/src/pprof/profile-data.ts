/** A function as it is shown: display name, the file a developer knows it by, 1-based position (0 when unknown). */
export interface PprofFrame {
  readonly name: string;
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface ValueType {
  readonly type: string;
  readonly unit: string;
}

export interface NumLabel {
  /** An integer. */
  readonly value: number;
  /** `seconds`, `bytes` …, as pprof knows them. */
  readonly unit: string;
}

export interface PprofSample {
  /** Leaf first. */
  readonly stack: readonly PprofFrame[];
  /** One per sample type, integers. */
  readonly values: readonly number[];
  readonly labels?: Readonly<Record<string, string>>;
  /** Labels that are numbers: pprof selects ranges of them, stores drop them instead of making a series of each value. */
  readonly numLabels?: Readonly<Record<string, NumLabel>>;
}

/** Stacks with values: what a profile is before it is encoded. */
export interface ProfileData {
  readonly sampleTypes: readonly ValueType[];
  readonly periodType: ValueType;
  readonly period: number;
  readonly timeNanos: bigint;
  /** Only for CPU profiles and deltas: Parca takes a profile that has it for a delta. */
  readonly durationNanos?: bigint;
  /** Name of the sample type shown first; pprof takes the last one without it. */
  readonly defaultSampleType?: string;
  /** Shown by pprof above its report: what the reader must know to trust the numbers. */
  readonly comments: readonly string[];
  readonly samples: readonly PprofSample[];
}
