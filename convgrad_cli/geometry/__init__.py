"""What a convolution is: integers and text, never torch."""
