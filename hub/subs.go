package hub

// subs are a connection's subscriptions by name: a short list, and a map once
// it is no longer short. The shard's lock guards it.
type subs struct {
	list  []*Sub
	index map[string]*Sub
}

const shortList = 8

func (s *subs) len() int { return max(len(s.list), len(s.index)) }

func (s *subs) get(name string) *Sub {
	if s.index != nil {
		return s.index[name]
	}
	for _, sub := range s.list {
		if sub.name == name {
			return sub
		}
	}
	return nil
}

func (s *subs) put(sub *Sub) {
	switch {
	case s.index != nil:
		s.index[sub.name] = sub
	case len(s.list) < shortList:
		s.list = append(s.list, sub)
	default:
		s.index = make(map[string]*Sub, 2*shortList)
		for _, other := range s.list {
			s.index[other.name] = other
		}
		s.list = nil
		s.index[sub.name] = sub
	}
}

func (s *subs) remove(sub *Sub) {
	delete(s.index, sub.name)
	for i := range s.list {
		if s.list[i] == sub {
			last := len(s.list) - 1
			s.list[i] = s.list[last]
			s.list[last] = nil
			s.list = s.list[:last]
			return
		}
	}
}

func (s *subs) all() []*Sub {
	all := make([]*Sub, 0, s.len())
	all = append(all, s.list...)
	for _, sub := range s.index {
		all = append(all, sub)
	}
	return all
}
