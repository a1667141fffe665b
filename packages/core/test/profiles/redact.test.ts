import { redactArguments } from '../../src/profiles/redact.js';

const SECRET = 'hunter2';
const KEY = 'Zx81qP09LmNb34VcXa72QwEr';

describe('arguments that look like secrets', () => {
  it.each<[string[], string[]]>([
    [
      ['--password', SECRET],
      ['--password', '(redacted)'],
    ],
    [
      ['--token', `-${SECRET}`],
      ['--token', '(redacted)'],
    ],
    [[`--db-password=${SECRET}`], ['--db-password=(redacted)']],
    [[`-Ddb.password=${SECRET}`], ['-Ddb.password=(redacted)']],
    [[`--apiKey=${SECRET}`], ['--apiKey=(redacted)']],
    [[`API_KEY=${SECRET}`], ['API_KEY=(redacted)']],
    [
      ['--auth-token', SECRET, '--port', '80'],
      ['--auth-token', '(redacted)', '--port', '80'],
    ],
    [
      ['--client-secret', SECRET],
      ['--client-secret', '(redacted)'],
    ],
    [
      ['--aws-access-key-id', SECRET],
      ['--aws-access-key-id', '(redacted)'],
    ],
    [
      ['--key', SECRET],
      ['--key', '(redacted)'],
    ],
    [[`postgres://app:${SECRET}@db:5432/app`], ['postgres://(redacted)@db:5432/app']],
    [[`--url=https://${SECRET}@host/x?a=1`], ['--url=https://(redacted)@host/x?a=1']],
    [[`https://host/x?access_token=${SECRET}&page=2`], ['https://host/x?access_token=(redacted)&page=2']],
    [[`{"user":"app","password":"${SECRET}"}`], ['{"user":"app","password":"(redacted)"}']],
    [[`const password = '${SECRET}'; run()`], ['const password = "(redacted)"; run()']],
    [[`Server=db;Password=${SECRET};Timeout=3`], ['Server=db;Password=(redacted);Timeout=3']],
    [['ghp_abcdef'], ['(redacted)']],
    [['--header=Bearer abc'], ['--header=(redacted)']],
    [['eyJhbGciOi.eyJzdWIi.x'], ['(redacted)']],
    [[KEY], ['(redacted)']],
    [[`--id=${KEY}`], ['--id=(redacted)']],
    [['0123456789abcdef0123456789abcdef'], ['(redacted)']],
  ])('%j shows as %j', (args, shown) => {
    expect(redactArguments(args)).toEqual(shown);
  });

  it.each([
    [['node', '/srv/app/server.js', '--port=3000', '--host', '0.0.0.0', '-v']],
    [['--max-old-space-size=4096', '--enable-source-maps', '--inspect=127.0.0.1:9229']],
    [['--require', './instrument.cjs', '--conditions=development']],
    [['--keyboard=de', '--passive', '--author', 'Jo', '--monkey=1']],
    [['/usr/lib/node_modules/some-long-package-name-2024/dist/index.js']],
    [['C:\\Program Files\\app\\server.js', 'https://example.com/a?page=2', 'a=b', '']],
    [['--password']],
    [['--token', '--verbose']],
  ])('leaves %j as it is', (args) => {
    expect(redactArguments(args)).toEqual(args);
  });

  it('changes no number of arguments', () => {
    const args = ['--secret', SECRET, '', '=', '--', '-'];
    expect(redactArguments(args)).toHaveLength(args.length);
  });
});
