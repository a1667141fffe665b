import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Report {
  code: number;
  stdout: string;
  stderr: string;
  /** The lines of stderr that are more than pprof saying what it does. */
  warnings: string[];
  /** Where pprof has put what it fetched. */
  saved: string;
}

/** None takes a second; one that waits for ever says what it waited for. */
const LONGEST_RUN_MS = 60_000;

/** Runs `go tool pprof`, in a folder of its own for what it saves. */
export class GoPprof {
  readonly room = mkdtempSync(join(tmpdir(), 'loopprof-go-'));
  #files = 0;

  /** A file that is not there yet. */
  newFile(name: string): string {
    return join(this.room, `${++this.#files}-${name}`);
  }

  run(...args: string[]): Promise<Report> {
    const env = {
      ...process.env,
      PPROF_TMPDIR: this.room,
      PPROF_BINARY_PATH: this.room,
      GOTOOLCHAIN: 'local',
    };
    return new Promise((done) => {
      execFile(
        'go',
        ['tool', 'pprof', ...args],
        { env, maxBuffer: 64 * 1024 * 1024, timeout: LONGEST_RUN_MS },
        (error, stdout, stderr) => {
          const lines = stderr.split('\n').filter(Boolean);
          done({
            // Without a code it was ended from outside.
            code: error ? Number(error.code ?? 1) : 0,
            stdout,
            stderr,
            warnings: lines.filter(
              (line) =>
                !/^(Fetching profile over HTTP from|Saved profile in|Generating report in) /.test(line),
            ),
            saved: /^Saved profile in (.*)$/m.exec(stderr)?.[1] ?? '',
          });
        },
      );
    });
  }

  /** A report that must come without a complaint. */
  async clean(...args: string[]): Promise<Report> {
    const report = await this.run(...args);
    expect([report.code, report.warnings]).toEqual([0, []]);
    return report;
  }

  close(): void {
    rmSync(this.room, { recursive: true, force: true });
  }
}
