/** In quotes, where it may have spaces in it. */
const QUOTED_PATH = /(?<=(['"`])(?:unix:)?)(?:file:\/\/)?(?:\/|\\\\|[a-z]:[\\/])[^\n]*?(?=\1)/gi;

/** Elsewhere, up to the next space. What stands before it is no part of a URL, nor of a relative path. */
const BARE_PATH = /(?<![^\s([<=:,])(?:file:\/\/)?(?:\/(?=[^\s/])|\\\\|[a-z]:[\\/])[^\s'"`()[\]<>,;]*/gi;

/** A message for whoever asks over HTTP: where things lie on this machine is for the log. Of a path the last part stays. */
export function withoutPaths(message: string): string {
  return message.replace(QUOTED_PATH, shortened).replace(BARE_PATH, shortened);
}

function shortened(path: string): string {
  return `…/${path.split(/[\\/]/).findLast((part) => part !== '') ?? ''}`;
}
