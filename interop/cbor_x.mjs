// Protocol 2 through cbor-x (JavaScript): lines of hexadecimal digits in, each a message; what cbor-x makes of it and
// writes again out. Not part of the tests, which ask for no Node: `interop/README.md` says how it is run by hand.
//
// cbor-x reads and writes maps as objects, sets, bignums and the typed arrays of one dimension. It has to be told of
// the tags 40 (arrays of a shape), 39731 (tuples), 39732 (classes), 39733 (elements) and 39734 (arrays of bool).
import { createInterface } from "node:readline";
import { Encoder, addExtension } from "cbor-x";

class Shaped {
  constructor(shape, items) {
    Object.assign(this, { shape, items });
  }
}
class Tuple {
  constructor(items) {
    this.items = items;
  }
}
class Type {
  constructor(name) {
    this.name = name;
  }
}
class Element {
  constructor(xml) {
    this.xml = xml;
  }
}
class Bools {
  constructor(items) {
    this.items = items;
  }
}

const extensions = [
  [40, Shaped, ([shape, items]) => new Shaped(shape, items), ({ shape, items }) => [shape, items]],
  [39731, Tuple, (items) => new Tuple(items), ({ items }) => items],
  [39732, Type, (name) => new Type(name), ({ name }) => name],
  [39733, Element, (xml) => new Element(xml), ({ xml }) => xml],
  [39734, Bools, (items) => new Bools(items), ({ items }) => items],
];
for (const [tag, Class, decode, write] of extensions) {
  addExtension({ Class, tag, decode, encode: (value, encode) => encode(write(value)) });
}

// Without records objects are maps, and with `tagUint8Array` a Uint8Array is a typed array and no bytes.
const encoder = new Encoder({ useRecords: false, mapsAsObjects: true, tagUint8Array: true, variableMapSize: true });
for await (const line of createInterface({ input: process.stdin })) {
  const value = encoder.decode(Buffer.from(line, "hex"));
  if (process.argv.includes("--show")) {
    console.dir(value, { depth: 9 });
  } else {
    console.log(encoder.encode(value).toString("hex"));
  }
}
