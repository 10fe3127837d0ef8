import assert from 'node:assert/strict';
import Queue from './index.js';

const filled = (count) => {
  const queue = new Queue();
  for (let i = 0; i < count; i += 1) queue.enqueue(i);
  return queue;
};
let good = 0;
let queue = filled(3);
assert.deepEqual([...queue.drain()], [0, 1, 2], 'not all values, or another order');
assert.equal(queue.size, 0, 'values stay in the queue'); good += 1;
queue = filled(4);
for (const value of queue.drain()) if (value === 1) break;
assert.deepEqual([...queue], [2, 3], 'a loop that is left early does not leave the rest'); good += 1;
queue = filled(1);
const seen = [];
for (const value of queue.drain()) { seen.push(value); if (value < 3) queue.enqueue(value + 1); }
assert.deepEqual(seen, [0, 1, 2, 3], 'what is put in meanwhile is not given'); good += 1;
assert.deepEqual([...new Queue().drain()], [], 'an empty queue gives something'); good += 1;
queue = new Queue();
for (const value of [undefined, null, 0, '']) queue.enqueue(value);
assert.deepEqual([...queue.drain()], [undefined, null, 0, ''], 'values that are nothing end it'); good += 1;
queue = filled(300000);
let count = 0;
for (const _ of queue.drain()) count += 1;
assert.equal(count, 300000); good += 1;
console.log(`${good} good`);
