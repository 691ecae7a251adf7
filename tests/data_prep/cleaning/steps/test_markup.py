import pytest

from data_prep.cleaning.steps.markup import STEPS
from tests.data_prep.cleaning.steps.rows import answered, cleaned, verdict


@pytest.mark.parametrize(
    ("text", "expected", "n"),
    [
        ("Smith &amp; Sons", "Smith & Sons", 1),
        ("the nation&#39;s &quot;best&quot;", 'the nation\'s "best"', 3),
        ("5&nbsp;km &mdash; so", "5 km — so", 2),
        ("caf&eacute; &#x27;x&#x27;", "café 'x'", 3),
    ],
)
def test_entities_in_prose_are_decoded(text, expected, n):
    assert cleaned(STEPS, "html_entities", text) == (expected, {"html_entity": n})


@pytest.mark.parametrize(
    "fields",
    [
        answered("Write &amp;amp; for it.", "How is an ampersand written in HTML?"),
        answered("shape = &circle;\nshape->area();"),
        answered("```\na &lt; b\n```"),
        answered("AT&T; R&D; Q&A, a && b; &unknown;"),
        answered("Type `&nbsp;` there."),
        answered("It has &#0; and &#8203; in it."),
    ],
)
def test_text_about_entities_code_and_unknown_names_stay(fields):
    assert verdict(STEPS, "html_entities", fields) is None


@pytest.mark.parametrize(
    ("text", "expected", "counts"),
    [
        ("in 2011.[citation needed] It", "in 2011. It", {"remark": 1}),
        ("in 2006.[citation needed]In 2013", "in 2006. In 2013", {"remark": 1}),
        ("Regarded[by whom?] as such", "Regarded as such", {"remark": 1}),
        ('in 2020.<ref name="a">Barnes (2020)</ref> It', "in 2020. It", {"reference": 1}),
        ("one<br>\ntwo<br/>three", "one\ntwo\nthree", {"line_break": 2}),
        ("a [b]bold[/b] [url=http://x.org]link[/url]", "a bold link", {"bbcode": 2}),
    ],
)
def test_remnants_of_markup_are_removed_from_prose(text, expected, counts):
    assert cleaned(STEPS, "markup", text) == (expected, counts)


@pytest.mark.parametrize(
    "fields",
    [
        answered("Use <br> there.", "How do I break a line in HTML?"),
        answered("| Oats | 66 g<br>11 g |"),
        answered('Editors write "[citation needed]" there.'),
        answered("for (i = 0; i < n; i++) {\n  sum += a[i];\n}"),
        answered("matrix[b] and list[i], see [1] and [when]"),
        answered("H<sub>2</sub>O and <b>bold</b> in a chat"),
    ],
)
def test_markup_that_is_meant_stays(fields):
    assert verdict(STEPS, "markup", fields) is None
