// Figures and the tables they are printed in (Markdown, so that they can be pasted).

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function spread(numbers) {
  return { median: median(numbers), lowest: Math.min(...numbers), highest: Math.max(...numbers) };
}

export function cell({ median, lowest, highest }) {
  const digits = highest < 3 ? 2 : highest < 1000 ? 1 : 0;
  const [middle, low, high] = [median, lowest, highest].map((number) => number.toFixed(digits));
  return low === high ? middle : `${middle} (${low}-${high})`;
}

export function printTable(head, rows) {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column].length)));
  const line = (cells) => `| ${cells.map((text, column) => text.padEnd(widths[column])).join(' | ')} |`;
  console.log(line(head));
  console.log(`|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`);
  for (const row of rows) console.log(line(row));
}
