"""A chat set as OpenAssistant exports it: made with a seed, from sentences of our own."""

import random
from typing import Any

TIPS = {
    "bake bread": ("Let the dough rest overnight.", "Heat the oven with a stone inside.", "Steam gives a thin crust."),
    "grow tomatoes": ("Plant them deep.", "Water the soil, never the leaves.", "Tie each stem to a stick."),
    "repair a tire": ("Find the hole under water.", "Roughen the rubber first.", "Press the patch for a minute."),
    "learn chess": ("Solve ten puzzles a day.", "Castle early.", "Read your lost games again."),
    "sleep better": ("Keep the room dark.", "No coffee after lunch.", "Rise at the same hour each day."),
    "paint a wall": ("Wash off the dust.", "Begin at the window.", "Two thin coats beat a thick one."),
    "store apples": ("Choose fruit without bruises.", "Wrap each in paper.", "A cold cellar is best."),
    "write a letter": ("Name your wish in line one.", "Use short sentences.", "Read it aloud before you sign."),
    "train a puppy": ("Reward it within a second.", "Train for five minutes.", "Ignore what you do not want."),
    "save money": ("Move a tenth away on payday.", "Cancel what you do not use.", "Cook at home on weekdays."),
    "brew coffee": ("Grind just before.", "Water at ninety-three degrees.", "Weigh the beans."),
    "run a race": ("Start slowly.", "Drink at every table.", "Wear shoes you know well."),
}
ASKED = ("How do I {}?", "Can you teach me to {}?", "I would like to {}. Where do I begin?", "My friend wants to {}.",
         "What matters most if you {}?")  # fmt: skip
MORE = ("Thanks. And then?", "What else?", "Why is that?", "Is there a second trick?")
WORSE = ("I do not know.", "That is up to you.", "Look it up.")


def chat_trees(n_trees: int = 60, seed: int = 0) -> list[dict[str, Any]]:
    """Messages of `n_trees` trees of 2 to 5 turns, one after the other: each question has a good answer (rank 0) and a
    worse one, no system text, and every sixth tree has a deleted question in place of its last one."""
    choice, rows = random.Random(seed), list[dict[str, Any]]()
    topics = list(TIPS)
    for tree in range(n_trees):
        topic, parent = topics[tree % len(topics)], None
        tips, n_turns = choice.sample(TIPS[topic], 2), choice.randint(2, 5)
        for turn in range(n_turns):
            name = f"tree{tree}-{turn}"
            if turn % 2:
                text, worse = f"To {topic}: {tips[turn // 2]}", choice.choice(WORSE)
                rows.append(_message(f"{name}-worse", parent, tree, "assistant", worse, rank=1))
                rows.append(_message(name, parent, tree, "assistant", text, rank=0))
            else:
                asked = choice.choice(MORE) if turn else choice.choice(ASKED).format(topic)
                text = f"{asked} I am {choice.randint(9, 90)}."
                rows.append(_message(name, parent, tree, "prompter", text, deleted=turn == 2 and tree % 6 == 0))
            parent = name
    return rows


def _message(name: str, parent: str | None, tree: int, role: str, text: str, **more: Any) -> dict[str, Any]:
    return {
        "message_id": name, "parent_id": parent, "message_tree_id": f"tree{tree}", "role": role, "text": text,
        "lang": "en", "review_result": True, "deleted": False, "rank": None, **more,
    }  # fmt: skip
