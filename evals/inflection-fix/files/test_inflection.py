import unittest

import inflection


class Inflection(unittest.TestCase):
    def test_ordinals(self):
        for number, text in [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (112, "112th"), (1013, "1013th"), (121, "121st")]:
            self.assertEqual(inflection.ordinalize(number), text)

    def test_singulars(self):
        for plural, singular in [("queries", "query"), ("spies", "spy"), ("movies", "movie"), ("series", "series"), ("people", "person")]:
            self.assertEqual(inflection.singularize(plural), singular)

    def test_underscores(self):
        for word, text in [("HTMLTidy", "html_tidy"), ("ActiveModel", "active_model")]:
            self.assertEqual(inflection.underscore(word), text)
