"""Training: rows to tokens and labels, the ledger of every row's fate, blocks of a corpus, optimizers, trainers."""
