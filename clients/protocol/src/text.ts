// Measures of text as the server takes them: in UTF-8 bytes and in whole characters, not in UTF-16 units.

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The first `chars` characters of `text`, with `…` where something was cut. */
export function clip(text: string, chars: number): string {
  if (text.length <= chars) return text;
  let end = 0;
  let counted = 0;
  for (const char of text) {
    if (counted === chars) return `${text.slice(0, end)}…`;
    counted += 1;
    end += char.length;
  }
  return text;
}

/** How many bytes `text` has in UTF-8. */
export function byteLength(text: string): number {
  return encoder.encode(text).length;
}

/** What is left of `text` without its first `bytes` bytes of UTF-8. */
export function dropBytes(text: string, bytes: number): string {
  return decoder.decode(encoder.encode(text).subarray(bytes));
}

/** FNV-1a, 64 bits, in hex. The hash is kept in two halves: numbers are exact up to 53 bits only. */
export function fingerprint(text: string): string {
  let high = 0xcbf29ce4;
  let low = 0x84222325;
  for (const byte of encoder.encode(text)) {
    low = (low ^ byte) >>> 0;
    // Times 0x100000001b3, which is 2^40 + 0x1b3.
    const product = low * 0x1b3;
    const carry = Math.floor(product / 0x1_0000_0000);
    high = (Math.imul(high, 0x1b3) + carry + (low << 8)) >>> 0;
    low = product >>> 0;
  }
  return high.toString(16).padStart(8, "0") + low.toString(16).padStart(8, "0");
}
