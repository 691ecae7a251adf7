"""Questions with answers for a proof without held-out rows: several languages, code, numbers, lists."""

FALLBACK_PROMPTS = (
    ("What is the capital of France?", "The capital of France is Paris."),
    ("What is 17 plus 25?", "17 plus 25 is 42."),
    ("Explain in one sentence why the sky is blue.", "Air scatters blue light more than red light."),
    ("Write a Python function add(a, b).", "def add(a, b):\n    return a + b\n"),
    ("Write a Python function is_even(n).", "def is_even(n: int) -> bool:\n    return n % 2 == 0\n"),
    ("What does this print?\n\nfor i in range(3):\n    print(i)", "0\n1\n2"),
    ("Write an SQL query that counts the rows of the table users.", "SELECT COUNT(*) FROM users;"),
    ("Translate into German: Good morning, how are you?", "Guten Morgen, wie geht es dir?"),
    ("Traduisez en anglais : Le chat dort sur la chaise.", "The cat sleeps on the chair."),
    ("¿Cuántos lados tiene un triángulo?", "Un triángulo tiene tres lados."),
    ("水は何度で沸騰しますか。", "一気圧では百度で沸騰します。"),
    ("一年有几个季节？", "一年有四个季节。"),
    ("Сколько дней в неделе?", "В неделе семь дней."),
    ("كم عدد أيام الأسبوع؟", "سبعة أيام."),
    ("Give the opposite of each word: hot, tall, early.", "cold, short, late"),
    ("Sort these numbers from small to large: 9, 4, 11, 2.", "2, 4, 9, 11"),
)
