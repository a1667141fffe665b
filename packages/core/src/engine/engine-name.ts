/** The engines in the order in which `auto` tries them. */
export const ENGINE_NAMES = ['auto', 'datadog', 'inspector'] as const;

/** What `engine` may be set to. */
export type EngineName = (typeof ENGINE_NAMES)[number];
