"""Probabilities as HTML tables in which nothing that a model wrote is markup."""

from html.parser import HTMLParser

from pipelines.chat_ui.tables import first_token_table, token_table
from pipelines.inference.generation import TokenChoice


class Cells(HTMLParser):
    """The texts of a table's cells, row by row, and the names of all its elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.elements: set[str] = set()
        self.is_open = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        self.elements.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.is_open = True

    def handle_endtag(self, tag: str) -> None:
        self.is_open = self.is_open and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.is_open:
            self.rows[-1][-1] += data


def choice(token: str, probability: float, *rivals: tuple[str, float]) -> TokenChoice:
    return TokenChoice(token, 0, probability, rivals)


def test_a_row_has_a_token_its_probability_and_its_rivals():
    table = Cells(token_table("base", [choice(" find", 0.5, ("\n", 0.25), ("x", 0.1)), choice("max", 1.0)]))
    assert table.rows == [
        ["", "token", "probability", "alternatives"],
        ["1", "' find'", "0.5000", "'\\n' 0.2500 · 'x' 0.1000"],
        ["2", "'max'", "1.0000", ""],
    ]


def test_the_first_tokens_are_ranked_and_the_taken_one_is_marked():
    table = Cells(first_token_table([choice("b", 0.2, ("a", 0.5))], [choice("c", 0.9), choice("later", 1.0)]))
    assert table.rows[1:] == [["'a'", "0.5000", "'c' ←", "0.9000"], ["'b' ←", "0.2000", "", ""]]


def test_a_model_that_said_nothing_has_empty_cells():
    assert Cells(first_token_table([], [choice("c", 0.9)])).rows[1:] == [["", "", "'c' ←", "0.9000"]]
    assert Cells(first_token_table([], [])).rows[1:] == []


def test_hostile_tokens_stay_text():
    hostile = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "${alert(1)}", "{{#each value}}", "</td>"]
    page = token_table("base", [choice(token, 0.5, (token, 0.1)) for token in hostile])
    table = Cells(page)
    assert table.elements == {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "code"}
    assert [row[1] for row in table.rows[1:]] == [repr(token) for token in hostile]
    assert not set("${}`") & set(page)


def test_direction_marks_and_control_characters_are_spelled_out():
    table = Cells(token_table("base", [choice("\u202e\x00", 0.5)]))
    assert table.rows[1][1] == "'\\u202e\\x00'"
