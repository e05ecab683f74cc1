# Completion of topiq for fish: topiq completion fish | source
function __topiq_complete
	set -l words (commandline -opc)
	set -l current (commandline -ct)
	test (count $current) -gt 0; or set current ''
	set -l found (command $words[1] __complete -- $words[2..-1] $current 2>/dev/null)
	if test "$found" = ':files'
		__fish_complete_path $current
		return
	end
	test (count $found) -gt 0; and printf '%s\n' $found
end
complete -c topiq -f -a '(__topiq_complete)'
