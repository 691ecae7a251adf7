"""What is wrong with a text: rules that cleaning steps and the doctor share. They know nothing of rows."""
