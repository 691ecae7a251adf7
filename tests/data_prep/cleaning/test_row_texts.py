"""The texts of a row: every text that a step may read or change, in one order, and back."""

from data_prep.cleaning.row_texts import row_texts, with_texts

CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "send_mail", "arguments": {"to": ["Ann", "Bob"], "mail": {"subject": "Lunch", "copies": 2}}},
}
TOOL = {
    "type": "function",
    "function": {
        "name": "send_mail",
        "description": "Send a mail.",
        "parameters": {
            "type": "object",
            "properties": {
                "to": {"type": "array", "items": {"type": "string"}},
                "description": {"type": "string", "description": "What it is about.", "default": "news"},
            },
        },
    },
}
ROW = {
    "messages": [
        {"role": "user", "content": "Write to Ann."},
        {"role": "assistant", "content": "", "reasoning_content": "Use the tool.", "tool_calls": [CALL], "weight": 0},
        {"role": "tool", "content": "sent"},
    ],
    "tools": [TOOL],
    "source": "mail",
}


def test_texts_in_tool_calls_and_tools_have_their_own_roles():
    assert [(one.role, one.text) for one in row_texts(ROW)] == [
        ("user", "Write to Ann."),
        ("assistant", ""),
        ("reasoning", "Use the tool."),
        ("tool_call", "Ann"),
        ("tool_call", "Bob"),
        ("tool_call", "Lunch"),
        ("tool", "sent"),
        ("tool_definition", "Send a mail."),
        ("tool_definition", "What it is about."),
        ("tool_definition", "news"),
    ]
    assert [one.is_trained for one in row_texts(ROW)][1:6] == [False] * 5


def test_new_texts_go_where_the_old_ones_were():
    changed = with_texts(ROW, [one.text.upper() for one in row_texts(ROW)])
    call = changed["messages"][1]["tool_calls"][0]
    assert call["id"] == "call_1"
    assert call["function"]["name"] == "send_mail"
    assert call["function"]["arguments"] == {"to": ["ANN", "BOB"], "mail": {"subject": "LUNCH", "copies": 2}}
    function = changed["tools"][0]["function"]
    assert function["description"] == "SEND A MAIL."
    assert function["parameters"]["properties"]["description"] == {
        "type": "string", "description": "WHAT IT IS ABOUT.", "default": "NEWS",
    }  # fmt: skip
    assert changed["messages"][2]["content"] == "SENT"
    assert ROW["messages"][1]["tool_calls"][0]["function"]["arguments"]["to"] == ["Ann", "Bob"]


def test_unchanged_texts_leave_the_row_as_it_was():
    calls_without_arguments = {"messages": [{"role": "assistant", "content": "", "tool_calls": [{"name": "now"}]}]}
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    for row in (
        ROW,
        calls_without_arguments,
        {"messages": [{"role": "user", "content": parts}]},
        {"instruction": "Add.", "input": "1 2", "output": "3", "system": "Be brief."},
        {"prompt": [{"role": "user", "content": "Hi"}], "chosen": [{"role": "assistant", "content": "Hello"}]},
        {"text": "a document", "tools": None},
    ):
        assert with_texts(row, [one.text for one in row_texts(row)]) == row
