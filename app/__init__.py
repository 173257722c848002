"""Ask your papers: local retrieval and a local xLSTM."""
