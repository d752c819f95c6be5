"""The paper's figures, as it lays them out."""
