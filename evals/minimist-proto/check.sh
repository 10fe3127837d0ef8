fail() { echo "$1"; exit 1; }
node check-proto.js | tee out
grep -qx "14 ways are closed, 8 others are as they were" out || fail "$(tail -n 1 out)"
