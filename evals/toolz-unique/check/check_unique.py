import itertools
import sys

from toolz import unique


def fail(why):
    print(why)
    sys.exit(1)


class Counted:
    compared = 0

    def __init__(self, number):
        self.number = number

    def __hash__(self):
        return hash(self.number)

    def __eq__(self, other):
        Counted.compared += 1
        return self.number == other.number


for key in (None, lambda item: item):
    Counted.compared = 0
    found = [item.number for item in unique((Counted(n % 2000) for n in range(6000)), key=key)]
    if found != list(range(2000)):
        fail("it gives other elements, or in another order")
    if Counted.compared > 20000:
        fail(f"it compares {Counted.compared} times for 6000 elements")
if list(itertools.islice(unique(itertools.count()), 3)) != [0, 1, 2]:
    fail("it is not lazy any more")
if tuple(unique(["cat", "mouse", "dog", "hen"], key=len)) != ("cat", "mouse"):
    fail("keys are not heeded any more")
if iter(unique([1])) is None or list(unique([1, 1.0, True, "1"])) != [1, "1"]:
    fail("what is equal is another now")
print("unique is as it should be")
