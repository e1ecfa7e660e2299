// Balances the pole of `python -m masep.gymnasium serve CartPole-v1 127.0.0.1:60000`: node agent.mjs 127.0.0.1:60000.
import { connect } from "node:net";

const head = (major, n) => (n < 24 ? [(major << 5) | n] : [(major << 5) | 25, n >> 8, n & 255]);
function encode(value) {
  if (Number.isInteger(value)) return head(0, value);
  if (typeof value === "string") return [...head(3, Buffer.byteLength(value)), ...Buffer.from(value)];
  if (Array.isArray(value)) return [...head(4, value.length), ...value.flatMap(encode)];
  return [...head(5, Object.keys(value).length), ...Object.entries(value).flat().flatMap(encode)];
}
const ARRAYS = { 64: Uint8Array, 72: Int8Array, 78: Int32Array, 79: BigInt64Array, 85: Float32Array, 86: Float64Array };
function decode(bytes, at = 0) {
  return (function item() {
    const [major, info] = [bytes[at] >> 5, bytes[at++] & 31];
    if (major === 7) return info === 27 ? bytes.readDoubleBE((at += 8) - 8) : [false, true, null][info - 20];
    const size = info < 24 ? 0 : 1 << (info - 24);
    const n = size === 8 ? Number(bytes.readBigUInt64BE(at)) : size ? bytes.readUIntBE(at, size) : info;
    if (((at += size), major < 2)) return major ? -1 - n : n;
    if (major < 4) return ((part) => (major === 2 ? Uint8Array.from(part) : `${part}`))(bytes.subarray(at, (at += n)));
    const many = (make) => Array.from({ length: n }, make);
    if (major < 6) return major === 4 ? many(item) : Object.fromEntries(many(() => [item(), item()]));
    return ((inner) => (ARRAYS[n] ? new ARRAYS[n](inner.buffer) : n === 40 ? inner[1] : inner))(item());
  })();
}
const { hostname, port } = new URL(`tcp://${process.argv[2]}`);
const socket = connect(Number(port), hostname);
const send = (kind, bytes) =>
  socket.write(Buffer.concat([Buffer.of(bytes.length & 255, bytes.length >> 8, 0, 0, kind, 0, 0, 0, ...bytes)], (bytes.length + 15) & ~7));
const ask = (type, params) => send(16, encode({ type, src: "js", params }));
socket.write("\x07\0masep/2\x03\0BYE\0\0");
send(1, encode({ v: [2, 2], id: "js", profile: "environment/1", max: 32768 }));
let [rest, at, size] = [Buffer.alloc(0), 16, 0]; // behind the server's first bytes
for await (const bytes of socket)
  for (rest = Buffer.concat([rest, bytes]); rest.length >= at + 8 && rest.length >= at + 8 + (size = rest.readUInt32LE(at)); at += (size + 15) & ~7) {
    const [kind, payload] = [rest[at + 4], rest.subarray(at + 8, at + 8 + size)];
    const { type, params: { request, observation, terminated, truncated, text } = {} } = kind === 16 ? decode(payload) : {};
    if (kind === 2 && decode(payload).profile !== "environment/1") throw Error("this has no environments"); else if (kind === 5) send(6, payload);
    if (type === "environment") ask("reset", { request: 1, seed: 7 });
    else if (type === "error" || terminated || truncated) socket.end(console.log(text ?? `${request - 1} steps`));
    else if (observation) ask("step", { request: request + 1, action: observation[2] + observation[3] > 0 ? 1 : 0 });
  }
