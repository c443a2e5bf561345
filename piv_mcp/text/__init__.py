"""Words and times: text by strangers, half characters, the clock. Knows nothing else of the house."""
