/** Offsets on the wire count Unicode code points; JavaScript strings count UTF-16 units. */

/** The UTF-16 offsets in `text` of these code point positions, in the same order, each within the text. */
export function utf16Offsets(text, positions) {
  const order = positions.map((_, i) => i).sort((a, b) => positions[a] - positions[b]);
  const offsets = new Array(positions.length);
  let unit = 0;
  let point = 0;
  for (const i of order) {
    while (point < positions[i] && unit < text.length) {
      unit += text.codePointAt(unit) > 0xffff ? 2 : 1;
      point += 1;
    }
    offsets[i] = unit;
  }
  return offsets;
}
