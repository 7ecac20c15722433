package epl

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxSlug is how long a slug may be on this server.
const maxSlug = 64

// Slug is the slug of an app's name (A.2.1): letters and digits that stand for
// themselves or are spelled out, in lower case, with one "-" for everything
// between them. It is empty for a name that has none, and cut after 64 characters.
func Slug(name string) string {
	var b strings.Builder
	gap := false
	for _, r := range norm.NFC.String(name) {
		text, ok := spell(unicode.ToLower(r))
		if !ok {
			gap = true
			continue
		}
		if gap && b.Len() > 0 && text != "" {
			b.WriteByte('-')
		}
		if text != "" {
			gap = false
		}
		b.WriteString(text)
	}
	slug := b.String()
	return strings.TrimRight(slug[:min(len(slug), maxSlug)], "-")
}

// spell writes a character with letters and digits; ok is false for one that has
// none. What only stands on another character is written as nothing.
func spell(r rune) (text string, ok bool) {
	if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
		return string(r), true
	}
	if text, ok = lookUp(r); ok || unicode.Is(unicode.Mn, r) {
		return text, true
	}
	// An accented letter is its letter.
	base, _ := utf8.DecodeRuneInString(norm.NFD.String(string(r)))
	if base == r || base == utf8.RuneError {
		return "", false
	}
	return spell(base)
}

func lookUp(r rune) (text string, ok bool) {
	_, rest, ok := strings.Cut(spellings, " "+string(r)+"=")
	text, _, _ = strings.Cut(rest, " ")
	return text, ok
}

// spellings are the characters that are neither ASCII nor a letter of it with an
// accent, each with how it is written. All are in lower case.
const spellings = "" +
	// Latin
	" æ=ae ǽ=ae å=aa ä=ae ö=oe ü=ue ß=ss ð=d đ=d ƒ=f ħ=h ĳ=ij ŀ=l ł=l ŉ=n ŋ=n ø=oe ǿ=o œ=oe ſ=s ŧ=t þ=th ı=i ʒ=z ª=a º=o" +
	" °=0 ˚=o ¹=1 ²=2 ³=3 ¶=p" +
	// Greek
	" α=a β=b γ=g δ=d ε=e ζ=z η=h θ=th ι=i κ=k λ=l μ=m ν=n ξ=ks ο=o π=p ρ=r ς=s σ=s τ=t υ=y φ=f χ=x ψ=ps ω=w ϐ=b ϑ=th ϒ=y" +
	// Cyrillic; the two signs are not written.
	" а=a б=b в=v г=g д=d е=e ё=e ж=zh з=z и=i й=j к=k л=l м=m н=n о=o п=p р=r с=s т=t у=u ф=f х=h ц=c ч=ch ш=sh щ=shch" +
	" ъ= ы=y ь= э=e ю=ju я=ja є=ye і=i ї=ji ґ=g ђ=dj ј=j љ=lj њ=nj ћ=c џ=dz" +
	// Arabic
	" أ=a ب=b ت=t ث=th ج=g ح=h خ=kh د=d ذ=th ر=r ز=z س=s ش=sh ص=s ض=d ط=t ظ=th ع=aa غ=gh ف=f ق=k ك=k ل=l م=m ن=n ه=h و=o ي=y" +
	// Money
	" $=dollar €=euro £=pound ¢=cent ¥=yen 円=yen 元=yuan ¤=currency ₠=ecu ₢=cruzeiro ₣=frenchfranc ₤=lira ₥=mill ₦=naira" +
	" ₧=peseta ₨=rupee ₹=indianrupee ₩=won ₪=newshequel ₫=dong ₭=kip ₮=tugrik ₯=drachma ₰=penny ₱=peso ₲=guarani ₳=austral" +
	" ₴=hryvnia ₵=cedi ﷼=rial ฿=baht ƀ=bitcoin" +
	// Symbols; "registred" is how it has always been spelled.
	" @=at &=and |=or <=less >=greater ©=copyright ®=registred ™=tm ℠=sm ∑=sum ∂=d ∆=delta ∞=infinity ♥=love ☢=radioactive "
