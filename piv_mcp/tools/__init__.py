"""What the model sees: one module an area. Handlers are thin, and say what is asked of the rooms behind them."""
