fail() { echo "$1"; exit 1; }
[ -s test.mjs ] || fail "there is no test.mjs"
cp index.js good.js
node --test test.mjs > out 2>&1 || { cat out; fail "the tests fail on the package as it is"; }
[ "$(sed -n 's/^# pass //p' out)" -ge 1 ] || fail "there is no test in it"
mutate() {
    cp good.js index.js
    sed -i "$2" index.js
    ! cmp -s good.js index.js || fail "the check is out of date: $1"
    ! node --test test.mjs > out 2>&1 || fail "the tests do not catch: $1"
}
mutate "a negative target that is not counted from the end" 's/const endIndex = .*/const endIndex = toIndex;/'
mutate "a negative target that is off by one" 's/array.length + toIndex/array.length + toIndex - 1/'
mutate "a negative start that moves nothing" 's/array.length + fromIndex/-1/'
mutate "arrayMoveImmutable that changes its argument" 's/array = \[...array\];//'
mutate "a start outside the array that moves the last one" 's/startIndex < array.length/true/'
mutate "the first one is never moved" 's/startIndex >= 0/startIndex > 0/'
mutate "a target off by one" 's/array.splice(endIndex, 0, item)/array.splice(endIndex + 1, 0, item)/'
