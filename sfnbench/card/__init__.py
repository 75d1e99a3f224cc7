"""An optimizer's card: one page on how a method behaves near saddle points."""
