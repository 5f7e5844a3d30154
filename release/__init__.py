"""What a release is made of and held against: the wheel, its bill of materials, licences and known faults of its pins."""
