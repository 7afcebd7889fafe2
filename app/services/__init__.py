"""What the product does: conductors and soloists, knowing only the two seams and the nouns."""
