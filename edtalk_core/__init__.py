"""EDTalk: talking heads whose motion is data."""
