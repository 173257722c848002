"""The xLSTM language model: config, weights, tokenizer, generation. Sees ids, never prompts."""
