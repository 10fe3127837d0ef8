import unittest

import inflection


class More(unittest.TestCase):
    def test_ordinals(self):
        for number in range(0, 3000):
            end = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
            self.assertEqual(inflection.ordinal(number), end)
            self.assertEqual(inflection.ordinalize(-number), f"{-number}{end}")

    def test_words_there_and_back(self):
        for word in ["query", "ability", "agency", "colloquy", "soliloquy", "movie", "news", "house", "city", "box", "mouse", "matrix", "day", "key"]:
            self.assertEqual(inflection.singularize(inflection.pluralize(word)), word)

    def test_the_rest(self):
        self.assertEqual(inflection.titleize("raiders_of_the_lost_ark"), "Raiders Of The Lost Ark")
        self.assertEqual(inflection.camelize("device_type", False), "deviceType")
        self.assertEqual(inflection.parameterize("Ærøskøbing & more"), "rskbing-more")
