"""A local page to chat with a base and an instruct model side by side.

model_pair      the two models in memory; an adapter shares the base's weights
streaming       answers that grow token by token; several models in turn
conversation    one prompt sent to both models
tables          next-token probabilities as rows
page            the Gradio page (extra `playground`)
"""
