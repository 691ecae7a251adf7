"""Models to talk to: a base and an instruct model side by side on a local page.

model_pair      the two models in memory; an adapter shares the base's weights
streaming       a model's answers, growing token by token; several models in turn
conversation    one prompt put to both, scene after scene
tables          next-token probabilities as rows
page            the Gradio page (extra `playground`)
"""
