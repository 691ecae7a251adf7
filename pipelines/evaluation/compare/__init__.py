"""Base and instruct model side by side: answers, measures, paired differences."""
