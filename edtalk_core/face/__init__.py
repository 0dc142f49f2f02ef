"""Find faces, place landmarks, and cut pictures and videos as the model was trained to see them."""
