"""Operations with a plain reference and faster paths that tests hold equal to it."""
