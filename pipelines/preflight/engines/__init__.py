"""Render the recipe's conversations with the template engines of servers and browsers (`doctor.py --engines`).

To add an engine: a module with a class of `template_engine.TemplateEngine`, and an entry in `ENGINES` of
`comparison.py`.
"""
