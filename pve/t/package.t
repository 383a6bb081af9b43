# The Debian package: built, then installed, kept through a PVE upgrade and removed by dpkg in a
# directory of its own, alongside a stand-in for the package that ships PVE's Ipams.pm.
use strict;
use warnings;

use File::Path qw(make_path);
use File::Temp qw(tempdir);
use FindBin qw($Bin);
use lib "$Bin/lib";
use Test::More;

use Files qw(spew);

# PVE's modules, for the test load by pve-nautobot-register
$ENV{PERL5LIB} = "$Bin/lib";

my $root = tempdir(CLEANUP => 1);
my $work = tempdir(CLEANUP => 1);
my $ipams = "$root/usr/share/perl5/PVE/Network/SDN/Ipams.pm";
my @lines = (
    "use PVE::Network::SDN::Ipams::NautobotPlugin;\n",
    "PVE::Network::SDN::Ipams::NautobotPlugin->register();\n",
);

# (output, success) of a command
sub run {
    my (@command) = @_;

    open(my $out, '-|', join(' ', map {"'$_'"} @command) . ' 2>&1') or die "cannot run: $!";
    my $said = join('', <$out>);
    return ($said, close($out));
}

sub succeeds {
    my ($name, @command) = @_;

    my ($said, $success) = run(@command);
    ok($success, $name) or diag($said);
    return $said;
}

# Debian's byte compiler ignores dpkg's --root: it would look for our files in this machine's own
# directories
for my $tool (qw(py3compile py3clean pypy3compile)) {
    spew("$work/bin/$tool", "#!/bin/sh\n");
    chmod(0755, "$work/bin/$tool");
}
$ENV{PATH} = "$work/bin:$ENV{PATH}:/usr/sbin:/sbin";

sub dpkg {
    my ($name, @args) = @_;

    return succeeds($name, 'dpkg', "--root=$root", '--force-script-chrootless', @args);
}

# PVE's package in this version
sub pve_package {
    my ($version) = @_;

    my $dir = "$work/pve-$version";
    spew("$dir/DEBIAN/control", <<"TEXT");
Package: libpve-network-perl
Version: $version
Architecture: all
Maintainer: test <test\@example.com>
Description: PVE's Ipams.pm
TEXT
    spew("$dir/usr/share/perl5/PVE/Network/SDN/Ipams.pm", <<"TEXT");
package PVE::Network::SDN::Ipams; # $version
use PVEStandIn;
use PVE::Network::SDN::Ipams::Plugin;

PVE::Network::SDN::Ipams::Plugin->init();

1;
TEXT
    succeeds("PVE's package $version", 'dpkg-deb', '--build', $dir, "$work/pve-$version.deb");
    return "$work/pve-$version.deb";
}

sub registered {
    open(my $in, '<', $ipams) or die "cannot read $ipams: $!";
    my @found = <$in>;
    return [grep {m/Nautobot/} @found];
}

make_path(map {"$root/var/lib/dpkg/$_"} qw(info updates triggers));

# the dependencies count as installed: dpkg would hold back the trigger otherwise
my @needed = qw(libjson-perl liburi-perl perl python3 python3-urllib3);
spew("$root/var/lib/dpkg/info/$_.list", '') for @needed;
spew("$root/var/lib/dpkg/status", join("\n", map { <<"TEXT" } @needed));
Package: $_
Status: install ok installed
Maintainer: test <test\@example.com>
Architecture: all
Multi-Arch: allowed
Version: 9
Description: stand-in
TEXT

succeeds('make deb', 'make', '-C', "$Bin/..", 'deb', "BUILD=$work/build");
my ($deb) = glob("$work/build/*.deb");
my $listed = succeeds('list the contents', 'dpkg-deb', '--contents', $deb);
like($listed, qr!root/root .* \Q$_\E$!m, "$_ is in the package") for qw(
    ./usr/share/perl5/PVE/Network/SDN/Ipams/NautobotPlugin.pm
    ./usr/sbin/pve-nautobot-migrate
    ./usr/sbin/pve-nautobot-register
    ./usr/sbin/pve-nautobot-repair-cache
    ./usr/bin/pve-nautobot
    ./usr/lib/python3/dist-packages/pve_nautobot/__init__.py
    ./usr/share/doc/pve-nautobot-ipam/README.md
    ./etc/default/pve-nautobot
);
like($listed, qr!root/root .* \S*/lib/systemd/system/pve-nautobot-sync.$_$!m, "the sync's $_")
    for qw(service timer);

my $depends = succeeds('list the dependencies', 'dpkg-deb', '--field', $deb, 'Depends');
like($depends, qr/\bpython3-urllib3 \(>= 1\.26\.12\)/, 'depends on the client\'s HTTP library');

dpkg('PVE is installed', '--install', pve_package('1.0'));
is_deeply(registered(), [], 'not registered before the installation');
dpkg('the package is installed', '--install', $deb);
is_deeply(registered(), \@lines, 'registered at installation');
ok(!-e "$root/etc/systemd/system/timers.target.wants", 'the timer is off');

my ($version) = succeeds('its version', 'dpkg-deb', '--field', $deb, 'Version');
$ENV{PYTHONPATH} = "$root/usr/lib/python3/dist-packages";
is(
    succeeds('pve-nautobot runs', "$root/usr/bin/pve-nautobot", '--version') =~ s/^\S+ //r,
    $version,
    'the client and the package have the same version',
);

dpkg('PVE is upgraded', '--install', pve_package('1.1'));
is_deeply(registered(), \@lines, 'registered again after the PVE upgrade');

spew("$root/etc/pve/sdn/ipams.cfg", "nautobot: main\n\turl https://n/api\n");
my $said = dpkg('the package is removed', '--remove', 'pve-nautobot-ipam');
like($said, qr/ipams\.cfg still has entries of type nautobot/, 'warns about remaining entries');
is_deeply(registered(), [], 'not registered after the removal');
ok(!-e "$root/usr/share/perl5/PVE/Network/SDN/Ipams/NautobotPlugin.pm", 'the plugin is gone');

done_testing();
