"""A shop: an order reserves stock, charges a card and sends a mail, at three participants that fail in every way."""
