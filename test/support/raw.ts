import { connect } from 'node:net';

export interface RawResponse {
  status: number;
  /** Lower-case names. */
  headers: Record<string, string>;
  body: string;
}

/** Sends what is given as it is and gives all that came back; resolves when the server has closed the connection. */
export function converse(port: number, text: string, host = '127.0.0.1'): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host }, () => socket.write(text, 'latin1'));
    let received = '';
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => (received += chunk));
    socket.on('end', () => resolve(received));
    socket.on('error', reject);
  });
}

/**
 * Sends a request as it is written, line by line, which no HTTP client would do: without a Host, with two of them, as HTTP/1.0.
 * Resolves when the server has closed the connection.
 */
export async function rawRequest(
  port: number,
  lines: readonly string[],
  host = '127.0.0.1',
): Promise<RawResponse> {
  const text = await converse(port, [...lines, 'Connection: close', '', ''].join('\r\n'), host);
  const [head = '', ...body] = text.split('\r\n\r\n');
  const [statusLine = '', ...headerLines] = head.split('\r\n');
  return {
    status: Number(statusLine.split(' ')[1]),
    headers: Object.fromEntries(
      headerLines.map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    ),
    body: body.join('\r\n\r\n'),
  };
}
