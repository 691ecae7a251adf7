"""Raw sources to datasets on disk. Nothing here imports torch."""
