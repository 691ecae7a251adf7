"""What runs apart from the measuring process, by an interpreter that has the standard library and nothing else.

The modules import each other relatively and nothing of the project, so that generated code finds nothing of it either.
"""
