package update

// The tests look at the directory by these.

func (d *dir) current() (string, error)         { return d.Current() }
func (d *dir) check(slot string) (Image, error) { return check(d, slot, d.keys) }
