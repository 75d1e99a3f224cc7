"""Critical points: searched from many starts, each end measured."""
