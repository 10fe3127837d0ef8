const assert = require('assert');
const ms = require('./index.js');
const day = 86400000;
const cases = [
  [7 * day, '1w', '1 week'], [14 * day, '2w', '2 weeks'], [10 * day, '1w', '1 week'], [11 * day, '2w', '2 weeks'],
  [-7 * day, '-1w', '-1 week'], [-21 * day, '-3w', '-3 weeks'], [7 * day - 1, '7d', '7 days'], [6 * day, '6d', '6 days'],
  [3600000, '1h', '1 hour'], [0, '0ms', '0 ms'],
];
let good = 0;
for (const [number, short, long] of cases) {
  try {
    assert.strictEqual(ms(number), short);
    assert.strictEqual(ms(number, { long: true }), long);
    good += 2;
  } catch (error) {
    console.log(`ms(${number}) should be ${short} and ${long}, not ${ms(number)} and ${ms(number, { long: true })}`);
    process.exit(1);
  }
}
assert.strictEqual(ms('2w'), 14 * day);
good += 1;
console.log(`${good} as they should be`);
