import { basename, sep } from 'node:path';

/**
 * Gives a path without what tells where it lies: below `folder` relative to that, of a package elsewhere from `node_modules` on, of
 * anything else the name. What is no absolute path (`node:fs`, a URL) stays as it is.
 */
export function trimPath(file: string, folder: string): string {
  const root = folder.endsWith(sep) ? folder : folder + sep;
  if (file.startsWith(root)) return file.slice(root.length);
  if (!file.startsWith(sep) && !/^[a-z]:[\\/]/i.test(file)) return file;
  const packages = file.search(/[\\/]node_modules[\\/]/);
  return packages < 0 ? basename(file) : file.slice(packages + 1);
}
