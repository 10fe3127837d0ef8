const assert = require('assert');
const say = (text) => { console.log(text); process.exit(1); };
try {
  const ms = require('./index.js');
  const parse = require('./parse.js');
  const format = require('./format.js');
  const units = require('./units.js');
  assert.deepEqual(units, { s: 1000, m: 60000, h: 3600000, d: 86400000, w: 604800000, y: 31557600000 });
  const texts = [['1', 1], ['1m', 60000], ['1h', 3600000], ['2d', 172800000], ['3w', 1814400000], ['1 year', 31557600000], ['-1.5 hrs', -5400000],
    ['.5ms', 0.5], ['100 msecs', 100], ['1 MINUTE', 60000], ['☃', undefined], ['10-.5', undefined], ['x'.repeat(101), undefined]];
  for (const [text, number] of texts) {
    assert.strictEqual(ms(text), number, text);
    assert.strictEqual(parse(text), number, text);
  }
  const numbers = [[500, '500ms', '500 ms'], [1000, '1s', '1 second'], [1500, '2s', '2 seconds'], [-60000, '-1m', '-1 minute'], [10800000, '3h', '3 hours'],
    [86400000, '1d', '1 day'], [2628000000, '30d', '30 days'], [0, '0ms', '0 ms']];
  for (const [number, short, long] of numbers) {
    assert.strictEqual(ms(number), short);
    assert.strictEqual(format(number), short);
    assert.strictEqual(ms(number, { long: true }), long);
    assert.strictEqual(format(number, { long: true }), long);
  }
  for (const bad of ['', undefined, null, [], {}, NaN, Infinity, true]) {
    assert.throws(() => ms(bad), (error) => error.message === `val is not a non-empty string or a valid number. val=${JSON.stringify(bad)}`);
  }
  const named = require('./package.json').files;
  for (const file of ['index.js', 'parse.js', 'format.js', 'units.js']) assert.ok(named.includes(file), `${file} is not in files`);
  assert.strictEqual(require('./package.json').version, '2.1.3');
} catch (error) {
  say(String(error.message).split('\n')[0]);
}
console.log('all of it does what it did');
